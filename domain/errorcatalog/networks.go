package errorcatalog

func networkEntries() []Entry {
	return []Entry{
		{NetworkNotFound, Refusal, "There is no such network in the site", []string{typo, "the site's inventory has not been loaded", otherVault}, "List the site's networks; load its inventory if the network is missing."},
		{NetworkMappingNotFound, Refusal, "There is no such network mapping in the vault", []string{typo, deleted}, "List the vault's network mappings."},
		{NetworkMappedAlready, Refusal, "The network is mapped to this recovery site already", []string{"another mapping of it was made before"}, "Change the mapping that the answer names, or remove it first."},
		{NetworksUnmapped, Refusal, "The recovery VM would come up with adapters that are not connected", []string{"a network of the VM is not mapped", "the network that it is mapped to is gone"}, "Map the networks that the answer names, set the adapters otherwise, or repeat the request with allowUnmappedNetworks=true."},
		{TestNetworkNotIsolated, Refusal, "The network of a test failover is one that recovery VMs are connected to", []string{"a mapping or the settings of an adapter lead there", "the wrong network was named"}, "Name a network of the recovery site that nothing is mapped to, or none."},
		{NICNotFound, Refusal, "The VM has no such network adapter", []string{typo, "the adapter was added after protection was enabled"}, "Use a name that the item's network settings list."},
		{HostWithoutCloud, Refusal, "The host belongs to no cloud of its VMM site", []string{"the site's inventory has not been loaded", "the host was moved out of its cloud"}, "Load the site's inventory with the host in a cloud."},
		{NetworkUnmapped, NonRecoverable, "A network of the VM is not mapped: its adapter will not be connected on the recovery side", []string{"the network has no mapping to the recovery site", "the adapter's network is not among those of its site"}, "Map the network, or set the adapter's target network or that it is not to be connected."},
		{RecoveryNetworkMissing, NonRecoverable, "A network that an adapter is to be connected to is gone from the recovery site", []string{"it was removed or replaced there", "the recovery site's inventory is not complete"}, "Load the recovery site's inventory, or map the network anew."},
		{StaticAddressOutsideSubnet, NonRecoverable, "A static address does not lie in a subnet of the network it is meant for", []string{"the adapter was given an address of another network", "the mapping keeps the source's address", "the subnet has changed"}, "Set another address for the adapter, or let the mapping translate addresses or use DHCP."},
		{StaticAddressInUse, NonRecoverable, "A static address on the recovery side is meant for two adapters", []string{"two items were given the same address", "addresses of two networks are translated to one subnet"}, "Give one of the adapters that the detail names another address."},
	}
}
