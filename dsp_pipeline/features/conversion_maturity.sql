-- One row per whole days since the click, 0 to 3: the share of the conversions within 72 hours that have come in when
-- that day is over, as the conversions of the 14 days before @date tell. They are counted per click of the day that
-- they belong to, so that neither growing traffic nor a short history bends the shares.
-- reads: conversion_lag_daily [-14, -1]
-- key: days_since_click
WITH arrival AS (
  SELECT
    days_since_click,
    SUM(conversions) / SUM(clicks) AS conversions_per_click
  FROM conversion_lag_daily
  GROUP BY days_since_click
)

SELECT
  days_since_click,
  -- Rounded to 1/65536, so that sums of clicks by their shares are the same in whatever order.
  ROUND(
    65536 * COALESCE(
      SAFE_DIVIDE(
        SUM(conversions_per_click) OVER (ORDER BY days_since_click ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        SUM(conversions_per_click) OVER ()
      ),
      1
    )
  ) / 65536 AS arrived_share
FROM arrival
