-- One row per campaign: its clicks of the 14 days before @date, the conversions that they have led to so far, and its
-- conversion rate, drawn towards that of all as if 60 more clicks had been seen at that rate. A click of a recent day
-- counts as much as the share of its conversions that has come in by now.
-- reads: conversion_lag_daily [-14, -1], conversion_maturity [0, 0], overall_conversion_rate [0, 0]
-- key: campaign_id
WITH campaign AS (
  SELECT
    conversion_lag_daily.campaign_id,
    SUM(IF(conversion_lag_daily.days_since_click = 0, conversion_lag_daily.clicks, 0)) AS clicks,
    SUM(
      IF(conversion_lag_daily.days_since_click = 0, conversion_lag_daily.clicks * conversion_maturity.arrived_share, 0)
    ) AS mature_clicks,
    SUM(conversion_lag_daily.conversions) AS conversions
  FROM conversion_lag_daily
  INNER JOIN conversion_maturity
    ON conversion_maturity.days_since_click = LEAST(DATE_DIFF(@date, conversion_lag_daily.date, DAY) - 1, 3)
  WHERE
    DATE_DIFF(@date, conversion_lag_daily.date, DAY) + conversion_lag_daily.days_since_click <= 14
    AND conversion_lag_daily.campaign_id <> ''
  GROUP BY conversion_lag_daily.campaign_id
)

SELECT
  campaign.campaign_id,
  campaign.clicks,
  campaign.mature_clicks,
  campaign.conversions,
  (campaign.conversions + 60 * overall_conversion_rate.conversion_rate) / (campaign.mature_clicks + 60)
    AS conversion_rate
FROM campaign
CROSS JOIN overall_conversion_rate
