-- One row per conversion of an impression that was not clicked in the week before it: clicks are missing, or it is
-- attributed to another impression. In the first week of logs the clicks of older impressions are not there.
-- reads: conversion [0, 0], click [-7, 0]
-- key: conversion_id
-- level: warn
SELECT
  conversion.conversion_id,
  conversion.impression_id,
  conversion.converted_at
FROM conversion
LEFT JOIN click
  ON conversion.impression_id = click.impression_id
WHERE click.click_id IS NULL
