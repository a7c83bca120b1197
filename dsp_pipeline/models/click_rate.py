"""click_rate: the probability that an impression is clicked within 24 hours."""

from dsp_pipeline.training.model import Model, category, number

model = Model(
    table="click_rate",
    label="clicked",
    features=(
        number("hour_of_day"),
        number("floor_micros"),
        number("position"),
        number("segment_count"),
        category("advertiser_id"),
        category("exchange"),
        category("region"),
        category("visibility"),
        category("format"),
        category("size"),
        category("device_code"),
        number("campaign_click_rate_14d"),
        number("creative_click_rate_14d"),
        number("placement_click_rate_14d"),
        number("site_click_rate_14d"),
        number("user_click_rate_14d"),
        number("user_impressions_1d"),
        number("user_impressions_7d"),
        number("user_days_since_seen"),
        number("user_days_since_clicked"),
        number("segments_log_lift_14d"),
        number("segments_highest_log_lift_14d"),
        number("combined_click_rate_14d"),
    ),
    # At 0.8 % clicks a row weighs about 0.008: a leaf of 20 holds some 2500 rows and 20 clicks. Each tree sees half of
    # the features, since the combined rate would else take most of the splits.
    parameters={
        "eta": 0.1,
        "max_depth": 3,
        "min_child_weight": 20,
        "lambda": 20,
        "max_cat_threshold": 16,
        "colsample_bytree": 0.5,
    },
    rounds=300,
    negative_share=0.5,
    slices=("advertiser_id", "exchange", "placement_id", "hour_of_day"),
    unit="user_id",
)
