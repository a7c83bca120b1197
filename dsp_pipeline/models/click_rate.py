"""click_rate: the probability that an impression is clicked within 24 hours."""

from dsp_pipeline.training.model import Model, category, number

model = Model(
    table="click_rate",
    label="clicked",
    features=(
        number("hour_of_day"),
        number("day_of_week"),
        number("slot_area"),
        number("floor_micros"),
        number("position"),
        number("segment_count"),
        category("exchange_code"),
        category("region_code"),
        category("device_code"),
        category("campaign_hour_code"),
        category("creative_placement_code"),
        category("segment_creative_code"),
        number("campaign_click_rate_7d"),
        number("creative_click_rate_7d"),
        number("placement_click_rate_7d"),
        number("user_click_rate_7d"),
        number("user_impressions_1d"),
    ),
    # At 0.8 % clicks a row weighs about 0.008: a leaf of 20 holds some 2500 rows and 20 clicks.
    parameters={
        "eta": 0.1,
        "max_depth": 4,
        "min_child_weight": 20,
        "lambda": 20,
        "max_cat_threshold": 16,
    },
    rounds=50,
)
