-- The picture of a user: which one it is and what it is, both or neither. `avatar_upload` is the newest upload, as long
-- as no picture has come of it. The bytes are in the storage, under these ids.
ALTER TABLE users ADD COLUMN avatar_id BLOB CHECK (length(avatar_id) = 16);
ALTER TABLE users ADD COLUMN avatar_type TEXT CHECK (
    avatar_type IN ('image/png', 'image/jpeg', 'image/webp') AND (avatar_type IS NULL) = (avatar_id IS NULL)
);
ALTER TABLE users ADD COLUMN avatar_upload BLOB CHECK (length(avatar_upload) = 16);
