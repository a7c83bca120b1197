-- One row per exchange, placement and price step: the bids of @date at such a price, and those that won. Step s is from
-- EXP(s / 3) micros to EXP((s + 1) / 3), a step of 40 %. What a loss tells is only that somebody paid more than our
-- price, so wins are counted by the price that we offered, never by the price that was paid.
-- reads: bid [0, 0], win [0, 0]
-- key: exchange, placement_id, price_step
--
-- A bid without exchange or placement is of ''. A win that we are told of after midnight is not counted here.
WITH won_bid AS (
  SELECT DISTINCT bid_id
  FROM win
)

SELECT
  COALESCE(bid.exchange, '') AS exchange,
  COALESCE(bid.placement_id, '') AS placement_id,
  CAST(FLOOR(3 * LN(bid.bid_price_micros)) AS INT64) AS price_step,
  COUNT(*) AS bids,
  COUNTIF(won_bid.bid_id IS NOT NULL) AS wins
FROM bid
LEFT JOIN won_bid
  ON bid.bid_id = won_bid.bid_id
WHERE bid.bid_price_micros > 0
GROUP BY exchange, placement_id, price_step
