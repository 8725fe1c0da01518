-- What the rules say of every room night, from the two databases alone. `legacy` holds the old system's nights.

WITH cloud AS (
  SELECT
    CASE property_id::text
      WHEN '2f1c7a9e-0000-4000-8000-000000000011' THEN 'MAD001'
      WHEN '2f1c7a9e-0000-4000-8000-000000000012' THEN 'MAD002'
      WHEN '2f1c7a9e-0000-4000-8000-000000000021' THEN 'BER001'
      WHEN '2f1c7a9e-0000-4000-8000-000000000031' THEN 'LIS001'
    END AS property,
    CASE room_type_id::text
      WHEN '7b0d4c1e-0000-4000-8000-000000000001' THEN 'SGL'
      WHEN '7b0d4c1e-0000-4000-8000-000000000002' THEN 'DBL'
      WHEN '7b0d4c1e-0000-4000-8000-000000000003' THEN 'STE'
    END AS room_type,
    night, units, price, closed, min_stay
  FROM room_nights
), both_systems AS (
  SELECT
    coalesce(l.property, c.property) AS property,
    coalesce(l.night, c.night) AS night,
    coalesce(l.room_type, c.room_type) AS room_type,
    -- Rooms are counted in the old system.
    coalesce(l.rooms, c.units) AS capacity,
    -- The old system sets the prices of the hotels in Madrid, and closes them.
    CASE WHEN coalesce(l.property, c.property) LIKE 'MAD%'
      THEN coalesce(l.cents / 100.0, c.price) ELSE coalesce(c.price, l.cents / 100.0) END AS price,
    CASE WHEN coalesce(l.property, c.property) LIKE 'MAD%'
      THEN coalesce(l.closed, c.closed) ELSE coalesce(c.closed, l.closed) END AS closed,
    c.min_stay,
    -- Whose price and whose closing hold: of the system that manages the hotel, if it knows the night.
    CASE WHEN l.property IS NULL OR (coalesce(l.property, c.property) NOT LIKE 'MAD%' AND c.property IS NOT NULL)
      THEN 'cloud' ELSE 'legacy' END AS manager,
    -- What has to be in `conflicts`, as the last word: the fields about which the systems differ by more than the rules allow.
    coalesce(l.rooms <> c.units, false) AS rooms_contested,
    coalesce(abs(l.cents / 100.0 - c.price) > 0.01, false) AS price_contested,
    coalesce(l.closed <> c.closed, false) AS closed_contested
  FROM legacy l FULL OUTER JOIN cloud c USING (property, room_type, night)
)
SELECT
  property, night, room_type, capacity, CASE WHEN closed THEN 0 ELSE greatest(capacity, 0) END AS available,
  trim_scale(price::numeric(18, 4)), coalesce(min_stay::text, '-'), manager AS price_from, manager AS closed_from,
  rooms_contested, price_contested, closed_contested
FROM both_systems
ORDER BY property, night, room_type;
