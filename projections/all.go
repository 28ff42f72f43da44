// Package projections holds the read models: tables folded from the log, one
// file each with the fold and its queries. runner.go keeps them up to date.
//
// Most rows keep the folded state of an aggregate, so that what the domain
// computes from a state (health, what is allowed) need not be stored: it is
// computed when somebody asks. Row-level security confines each query to a vault.
package projections

// The names of the read models, as checkpoints and waiting readers know them.
const (
	VaultsName          = "vaults"
	PoliciesName        = "policies"
	SitesName           = "sites"
	StorageAccountsName = "storage_accounts"
	ProtectedItemsName  = "protected_items"
	JobsName            = "jobs"
	APIKeysName         = "api_keys"
	NetworkMappingsName = "network_mappings"
	RecoveryPlansName   = "recovery_plans"
)

// All returns every read model, for a Runner.
func All() []Projection {
	return []Projection{Vaults(), Policies(), Sites(), StorageAccounts(), ProtectedItems(), Jobs(), APIKeys(), NetworkMappings(), RecoveryPlans()}
}
