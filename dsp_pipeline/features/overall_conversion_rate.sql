-- One row: the clicks of the 14 days before @date, the conversions that they have led to so far, and the conversion
-- rate, which is what is known of who is unknown. A click of a recent day counts as much as the share of its
-- conversions that has come in by now. The rate is null before there is any history.
-- reads: conversion_lag_daily [-14, -1], conversion_maturity [0, 0]
-- key: scope
SELECT
  'all' AS scope,
  COALESCE(SUM(IF(conversion_lag_daily.days_since_click = 0, conversion_lag_daily.clicks, 0)), 0) AS clicks,
  COALESCE(SUM(conversion_lag_daily.conversions), 0) AS conversions,
  SAFE_DIVIDE(
    SUM(conversion_lag_daily.conversions),
    SUM(
      IF(conversion_lag_daily.days_since_click = 0, conversion_lag_daily.clicks * conversion_maturity.arrived_share, 0)
    )
  ) AS conversion_rate
FROM conversion_lag_daily
INNER JOIN conversion_maturity
  ON conversion_maturity.days_since_click = LEAST(DATE_DIFF(@date, conversion_lag_daily.date, DAY) - 1, 3)
WHERE DATE_DIFF(@date, conversion_lag_daily.date, DAY) + conversion_lag_daily.days_since_click <= 14
