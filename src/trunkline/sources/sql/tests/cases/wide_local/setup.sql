CREATE TABLE w (at timestamp, flow numeric, total numeric, running boolean, note date, id text);
INSERT INTO w VALUES
  ('2026-03-29 02:30:00', 1.5, NULL, NULL, NULL, NULL),
  ('2026-07-01 12:00:00', 51.25, 9223372036854775807, true, '2026-11-21', NULL),
  ('2026-10-25 02:30:00', 'NaN', 7.5, false, NULL, '00000000-0000-7000-8000-000000000001'),
  ('2026-11-21 13:00:00.000001', 1e3, 7.0, NULL, NULL, NULL);
