package changelog

import "farshore/domain/errorcatalog"

// Codes of the error catalogue that this package answers with. All are of class
// Resynchronize: a replica cannot follow a log that is not whole.
const (
	codeChecksum  errorcatalog.Code = "log_checksum_mismatch"
	codeTruncated errorcatalog.Code = "log_truncated"
	codeChain     errorcatalog.Code = "log_chain_broken"
	codeUnclean   errorcatalog.Code = "log_unclean"
	codeThreshold errorcatalog.Code = "log_threshold_exceeded"
	codeReserve   errorcatalog.Code = "free_space_reserve_reached"
	codeWrite     errorcatalog.Code = "log_write_failed"
	codeOffline   errorcatalog.Code = "disk_changed_offline"
)
