-- The new system, on PostgreSQL. A row is a night of one room type of one hotel.

CREATE TABLE room_nights (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  property_id  uuid NOT NULL,
  room_type_id uuid NOT NULL,
  night        date NOT NULL,
  units        integer NOT NULL,
  price        numeric(10, 4) NOT NULL,
  currency     char(3) NOT NULL DEFAULT 'EUR',
  closed       boolean NOT NULL DEFAULT false,
  min_stay     smallint,
  updated_at   timestamptz NOT NULL DEFAULT now(),
  UNIQUE (property_id, room_type_id, night)
);
ALTER TABLE room_nights REPLICA IDENTITY FULL;

CREATE TABLE audit_trail (id bigserial PRIMARY KEY, note text);

CREATE PUBLICATION concord FOR TABLE room_nights;
GRANT SELECT ON room_nights TO concord;
