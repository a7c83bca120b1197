-- One row per click that came before its impression: two clocks differ, or the click is of another impression.
-- reads: impression [0, 0], click [-1, 0]
-- key: click_id
-- level: warn
SELECT
  click.click_id,
  impression.impression_id,
  click.clicked_at,
  impression.served_at
FROM impression
INNER JOIN click
  ON impression.impression_id = click.impression_id
WHERE click.clicked_at < impression.served_at
