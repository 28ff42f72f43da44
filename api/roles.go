package api

import "slices"

// role names what a principal may do.
type role string

const (
	vaultAdmin  role = "VaultAdmin"
	contributor role = "Contributor"
	operator    role = "Operator"
	reader      role = "Reader"
	auditor     role = "Auditor"
	agent       role = "Agent"
)

// everyone lists the operations that any valid credential may use.
var everyone = []string{"listErrors", "getContract"}

// auditing lists what tells what happened.
var auditing = []string{"listVaults", "getVault", "listEvents", "streamEvents", "listJobs", "getJob"}

// reading lists what changes nothing; keys are not for every reader.
var reading = slices.Concat(auditing, []string{
	"listPolicies", "getPolicy", "listSites", "getSite", "listHosts", "getHost", "listVirtualMachines", "getVirtualMachine",
	"listStorageAccounts", "getStorageAccount", "listProtectedItems", "getProtectedItem", "listRecoveryPoints", "getRecoveryPoint",
})

// operating lists what is done with items that are protected already.
var operating = []string{"plannedFailover", "commitFailover", "repairReplication", "replicateNow", "cancelJob"}

// contributing lists what sets protection up and takes it down.
var contributing = []string{
	"enableProtection", "disableProtection", "putPolicy", "putSite", "putHost", "deleteHost", "putStorageAccount",
}

// administering lists what concerns the vault itself and who may call.
var administering = []string{"putVault", "listAPIKeys", "getAPIKey", "issueAPIKey", "revokeAPIKey"}

// permissions says which operations each role may use; what is not listed is
// denied. Agent is for machines, which have no operations of their own yet.
var permissions = map[role][]string{
	vaultAdmin:  slices.Concat(everyone, reading, operating, contributing, administering),
	contributor: slices.Concat(everyone, reading, operating, contributing),
	operator:    slices.Concat(everyone, reading, operating),
	reader:      slices.Concat(everyone, reading),
	auditor:     slices.Concat(everyone, auditing),
	agent:       everyone,
}

// Permitted says whether a role may use an operation.
func Permitted(roleName, operationID string) bool {
	return slices.Contains(permissions[role(roleName)], operationID)
}
