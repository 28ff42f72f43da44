package site

import "slices"

// Equal says whether two descriptions say the same.
func (v VirtualMachine) Equal(o VirtualMachine) bool {
	return v.ID == o.ID && v.Name == o.Name && v.Generation == o.Generation && v.CPUs == o.CPUs && v.MemoryMiB == o.MemoryMiB &&
		slices.EqualFunc(v.NICs, o.NICs, NIC.Equal) && slices.Equal(v.Disks, o.Disks) && v.Guest.equal(o.Guest) && v.Freeze.equal(o.Freeze)
}

// Equal says whether two adapters are described alike.
func (n NIC) Equal(o NIC) bool {
	return n.Name == o.Name && n.MACAddress == o.MACAddress && n.Network == o.Network && n.Primary == o.Primary && n.Address.Equal(o.Address)
}

// Disk returns the VM's disk of the given id.
func (v VirtualMachine) Disk(id string) (Disk, bool) {
	i := slices.IndexFunc(v.Disks, func(d Disk) bool { return d.ID == id })
	if i < 0 {
		return Disk{}, false
	}
	return v.Disks[i], true
}

func (g *Guest) equal(o *Guest) bool {
	if g == nil || o == nil {
		return g == o
	}
	return slices.Equal(g.Command, o.Command) && g.GraceSeconds == o.GraceSeconds
}

func (f *Freeze) equal(o *Freeze) bool {
	if f == nil || o == nil {
		return f == o
	}
	return slices.Equal(f.Pre, o.Pre) && slices.Equal(f.Post, o.Post) && f.TimeoutSeconds == o.TimeoutSeconds
}
