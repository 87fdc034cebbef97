//! [`Script`]: what Redis does at once, in Lua.

use redis::Cmd;

/// A script, and the name by which Redis knows it once it has seen it.
pub(crate) struct Script {
    body: String,
    hash: String,
}

impl Script {
    pub(crate) fn new(body: impl Into<String>) -> Self {
        let body = body.into();
        let hash = redis::Script::new(&body).get_hash().to_owned();
        Self { body, hash }
    }

    /// Runs it by its name.
    pub(crate) fn by_hash(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        Self::call("EVALSHA", &self.hash, keys, arguments)
    }

    /// Runs it, and has it known by its name from then on.
    pub(crate) fn by_body(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        Self::call("EVAL", &self.body, keys, arguments)
    }

    fn call(how: &str, which: &str, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        let size = which.len() + arguments.iter().map(|argument| argument.len()).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + keys.len() + arguments.len(), size + 128);
        command.arg(how).arg(which).arg(keys.len());
        for key in keys {
            command.arg(*key);
        }
        for argument in arguments {
            command.arg(*argument);
        }
        command
    }
}
