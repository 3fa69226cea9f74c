CREATE TABLE present (name text, value double precision);
INSERT INTO present VALUES ('flow', 1.5), ('level', 2);
