-- One row per advertiser and audience segment: how many times as often as others those in the segment clicked on the
-- advertiser in the 14 days before @date, as a logarithm. It is drawn towards what the segment does with all
-- advertisers, as if 8 more clicks had been seen as they were expected, and that towards no effect with 25.
-- Who is in several segments has the sum. So that a sum is the same in whatever order, it is rounded to 1/65536.
-- reads: segment_advertiser_daily [-14, -1]
-- key: advertiser_id, segment
WITH pair AS (
  SELECT
    advertiser_id,
    segment,
    SUM(impressions) AS impressions,
    SUM(clicks) AS clicks
  FROM segment_advertiser_daily
  GROUP BY advertiser_id, segment
),

advertiser AS (
  SELECT
    advertiser_id,
    COALESCE(SAFE_DIVIDE(SUM(clicks), SUM(impressions)), 0) AS click_rate
  FROM pair
  GROUP BY advertiser_id
),

expected_pair AS (
  SELECT
    pair.advertiser_id,
    pair.segment,
    pair.impressions,
    pair.clicks,
    pair.impressions * advertiser.click_rate AS expected_clicks
  FROM pair
  INNER JOIN advertiser
    ON pair.advertiser_id = advertiser.advertiser_id
),

segment_lift AS (
  SELECT
    segment,
    (SUM(clicks) + 25) / (SUM(expected_clicks) + 25) AS lift
  FROM expected_pair
  GROUP BY segment
)

SELECT
  expected_pair.advertiser_id,
  expected_pair.segment,
  expected_pair.impressions,
  expected_pair.clicks,
  ROUND(
    65536 * LN(segment_lift.lift * (expected_pair.clicks + 8) / (expected_pair.expected_clicks * segment_lift.lift + 8))
  ) / 65536 AS log_lift
FROM expected_pair
INNER JOIN segment_lift
  ON expected_pair.segment = segment_lift.segment
