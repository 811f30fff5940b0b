-- Told paths with large content whose mirror does not hold it yet. The triggers keep it so whatever is written to `told`
-- and `file`, so that asking what is wanted costs nothing while nothing is. (REPLACE runs no delete triggers, so the
-- insert triggers work it out from what is there now.)
CREATE TABLE wanting (owner TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (owner, path)) STRICT, WITHOUT ROWID;

INSERT INTO wanting
  SELECT told.owner, told.path FROM told LEFT JOIN file ON file.site = told.owner AND file.path = told.path
  WHERE told.chunks IS NOT NULL AND file.sha256 IS NOT told.sha256;

CREATE TRIGGER told_put AFTER INSERT ON told BEGIN
  DELETE FROM wanting WHERE owner = new.owner AND path = new.path;
  INSERT INTO wanting SELECT new.owner, new.path WHERE new.chunks IS NOT NULL AND new.sha256 IS NOT
    (SELECT sha256 FROM file WHERE site = new.owner AND path = new.path);
END;
CREATE TRIGGER told_dropped AFTER DELETE ON told BEGIN
  DELETE FROM wanting WHERE owner = old.owner AND path = old.path;
END;
CREATE TRIGGER file_put AFTER INSERT ON file BEGIN
  DELETE FROM wanting WHERE owner = new.site AND path = new.path;
  INSERT INTO wanting SELECT owner, path FROM told
    WHERE owner = new.site AND path = new.path AND chunks IS NOT NULL AND sha256 <> new.sha256;
END;
CREATE TRIGGER file_dropped AFTER DELETE ON file BEGIN
  INSERT OR IGNORE INTO wanting SELECT owner, path FROM told
    WHERE owner = old.site AND path = old.path AND chunks IS NOT NULL;
END;

-- Which chunks may go is asked at each poll.
CREATE INDEX chunk_at ON chunk (at);
