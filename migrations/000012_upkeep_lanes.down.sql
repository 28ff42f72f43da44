SET lock_timeout = '10s';

DELETE FROM lanes WHERE kind = 'upkeep';

RESET lock_timeout;
