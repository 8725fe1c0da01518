-- The old system's periods, a row a night: what it claims, in Concord's codes.

WITH RECURSIVE nights AS (
  SELECT id, haus_nr, kategorie, gueltig_von AS night, gueltig_bis, anzahl_zimmer, preis_cent, gesperrt FROM kontingente
  UNION ALL
  SELECT id, haus_nr, kategorie, night + INTERVAL 1 DAY, gueltig_bis, anzahl_zimmer, preis_cent, gesperrt
  FROM nights WHERE night < gueltig_bis
)
SELECT
  CASE haus_nr WHEN 11 THEN 'MAD001' WHEN 12 THEN 'MAD002' WHEN 21 THEN 'BER001' WHEN 31 THEN 'LIS001' END,
  CASE kategorie WHEN 'EZ' THEN 'SGL' WHEN 'DZ' THEN 'DBL' WHEN 'SU' THEN 'STE' END,
  night, anzahl_zimmer, preis_cent, IF(gesperrt = 'J', 't', 'f')
FROM nights;
