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
func everyone() []string { return []string{"listErrors", "getContract"} }

// auditing lists what tells what happened.
func auditing() []string {
	return append(everyone(), "listVaults", "getVault", "listEvents", "streamEvents", "listJobs", "getJob")
}

// reading lists what changes nothing; keys are not for every reader.
func reading() []string {
	return append(auditing(),
		"listPolicies", "getPolicy", "listSites", "getSite", "listHosts", "getHost", "listVirtualMachines", "getVirtualMachine",
		"listNetworks", "getNetwork", "listClouds", "listNetworkMappings", "getNetworkMapping", "getNetworkSettings",
		"listStorageAccounts", "getStorageAccount", "listProtectedItems", "getProtectedItem", "listRecoveryPoints", "getRecoveryPoint",
		"listRecoveryPlans", "getRecoveryPlan")
}

// operating lists what is done with items that are protected already.
func operating() []string {
	return append(reading(),
		"plannedFailover", "unplannedFailover", "applyRecoveryPoint", "cancelFailover", "commitFailover", "testFailover", "cleanUpTestFailover",
		"startFailback", "completeFailback", "cancelFailback", "commitFailback", "reProtect",
		"putNetworkSettings",
		"pauseReplication", "resumeReplication", "repairReplication", "replicateNow", "retryNow", "cancelJob", "restartJob", "resumeJob",
		"checkPlanReadiness", "testFailoverPlan", "cleanUpTestFailoverPlan", "plannedFailoverPlan", "unplannedFailoverPlan", "failbackPlan", "commitFailoverPlan")
}

// contributing lists what sets protection up and takes it down.
func contributing() []string {
	return append(operating(), "enableProtection", "disableProtection", "changePolicy", "addDisks", "removeDisks", "putPolicy", "putSite", "putHost", "deleteHost", "putStorageAccount",
		"loadSiteInventory", "putNetworkMapping", "deleteNetworkMapping", "putRecoveryPlan", "deleteRecoveryPlan")
}

// administering lists what concerns the vault itself and who may call.
func administering() []string {
	return append(contributing(), "putVault", "listAPIKeys", "getAPIKey", "issueAPIKey", "revokeAPIKey")
}

// permissions says which operations a role may use; what is not listed is
// denied. Agent is for machines, which have no operations of their own yet.
func permissions(r role) []string {
	switch r {
	case vaultAdmin:
		return administering()
	case contributor:
		return contributing()
	case operator:
		return operating()
	case reader:
		return reading()
	case auditor:
		return auditing()
	case agent:
		return everyone()
	}
	return nil
}

// Permitted says whether a role may use an operation.
func Permitted(roleName, operationID string) bool {
	return slices.Contains(permissions(role(roleName)), operationID)
}
