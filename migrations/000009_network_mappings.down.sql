SET lock_timeout = '10s';

DROP TABLE network_mappings_v1;

RESET lock_timeout;
