-- The old system, on MariaDB. A row is a period of one category of one house; periods of a category do not overlap.

CREATE TABLE kontingente (
  id            INT PRIMARY KEY AUTO_INCREMENT,
  haus_nr       INT NOT NULL,
  kategorie     CHAR(2) NOT NULL,
  gueltig_von   DATE NOT NULL,
  gueltig_bis   DATE NOT NULL COMMENT 'letzte Nacht',
  anzahl_zimmer INT NOT NULL,
  preis_cent    INT NOT NULL,
  gesperrt      ENUM('J', 'N') NOT NULL DEFAULT 'N',
  bemerkung     VARCHAR(100),
  geaendert_am  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  KEY (haus_nr, kategorie, gueltig_von)
) ENGINE = InnoDB DEFAULT CHARSET = latin1;

CREATE TABLE protokoll (
  id INT PRIMARY KEY AUTO_INCREMENT,
  text VARCHAR(200)
) ENGINE = InnoDB COMMENT 'nobody captures it';
