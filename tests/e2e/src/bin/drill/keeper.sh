# Runs the program that its arguments say, until that ends or the input of this script does: a dead drill leaves nothing
# behind. Says which process it is, and with which status it ended.
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
echo "pid $program"
(
    read -r _ <&3
    kill -KILL "$program"
) >/dev/null 2>&1 &
watch=$!
wait "$program"
echo "ended $?"
kill -KILL "$watch" 2>/dev/null
