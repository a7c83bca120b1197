-- One row per user: its impressions and clicks of the 14 days before @date, how long ago it was seen and clicked last,
-- and its click rate, drawn towards that of all as if 300 more impressions had been seen at that rate.
-- reads: user_daily [-14, -1], overall_click_rate [0, 0]
-- key: user_id
SELECT
  user_daily.user_id,
  SUM(user_daily.impressions) AS impressions,
  SUM(IF(DATE_DIFF(@date, user_daily.date, DAY) <= 7, user_daily.impressions, 0)) AS impressions_7d,
  SUM(IF(DATE_DIFF(@date, user_daily.date, DAY) <= 1, user_daily.impressions, 0)) AS impressions_1d,
  SUM(user_daily.clicks) AS clicks,
  DATE_DIFF(@date, MAX(IF(user_daily.impressions > 0, user_daily.date, NULL)), DAY) AS days_since_seen,
  DATE_DIFF(@date, MAX(IF(user_daily.clicks > 0, user_daily.date, NULL)), DAY) AS days_since_clicked,
  (SUM(user_daily.clicks) + 300 * MAX(overall_click_rate.click_rate)) / (SUM(user_daily.impressions) + 300)
    AS click_rate
FROM user_daily
CROSS JOIN overall_click_rate
GROUP BY user_daily.user_id
