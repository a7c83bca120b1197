-- One row per bid with a price of @date: whether it won, and what was known when it was made. Of a bid that lost the
-- price of the market is not known, only that it was not below ours: the clearing price has no place here.
-- reads: bid [0, 0], win [0, +1], placement_win_lift [0, 0]
-- key: bid_id
WITH made AS (
  -- A logger that sends again may stamp the same bid twice, in two hours.
  SELECT
    bid_id,
    MIN(bid_at) AS bid_at
  FROM bid
  GROUP BY bid_id
),

won_bid AS (
  SELECT DISTINCT bid_id
  FROM win
)

SELECT
  bid.bid_id,
  bid.bid_at,
  won_bid.bid_id IS NOT NULL AS won,
  bid.user_id,
  bid.placement_id,
  bid.advertiser_id,
  bid.exchange,
  bid.placement_format AS format,
  CONCAT(CAST(bid.placement_width AS STRING), 'x', CAST(bid.placement_height AS STRING)) AS size,
  EXTRACT(HOUR FROM bid.bid_at) AS hour_of_day,
  bid.bid_price_micros,
  bid.bid_floor_micros AS floor_micros,
  SAFE_DIVIDE(bid.bid_price_micros, bid.bid_floor_micros) AS price_to_floor,
  COALESCE(placement_win_lift.win_lift, 1) AS placement_win_lift_7d
FROM bid
INNER JOIN made
  ON bid.bid_id = made.bid_id AND bid.bid_at = made.bid_at
LEFT JOIN won_bid
  ON bid.bid_id = won_bid.bid_id
LEFT JOIN placement_win_lift
  ON bid.placement_id = placement_win_lift.placement_id
WHERE bid.bid_price_micros > 0
