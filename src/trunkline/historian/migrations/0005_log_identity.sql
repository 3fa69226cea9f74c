-- Positions mean something only in the log that they were counted in.
ALTER TABLE position ADD COLUMN log text;
COMMENT ON COLUMN position.log IS 'Identity of the topic in its log; another one starts at its beginning. NULL: not known.';
