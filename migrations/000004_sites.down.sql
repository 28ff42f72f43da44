SET lock_timeout = '10s';

DROP TABLE virtual_machines_v1;
DROP TABLE hosts_v1;
DROP TABLE sites_v1;

RESET lock_timeout;
