package site

// VirtualMachine describes a VM as its host reports it; vm.json of a local host
// has this form, too.
type VirtualMachine struct {
	ID         string  `json:"id"`         // unique and stable within its host
	Name       string  `json:"name"`       // 1 to 63 characters
	Generation int     `json:"generation"` // 1 or 2
	CPUs       int     `json:"cpus"`
	MemoryMiB  int     `json:"memoryMiB"`
	NICs       []NIC   `json:"nics,omitempty"`
	Disks      []Disk  `json:"disks"`
	Guest      *Guest  `json:"guest,omitempty"`
	Freeze     *Freeze `json:"freeze,omitempty"` // none: all recovery points are crash-consistent
}

// NIC is a network adapter.
type NIC struct {
	Name       string `json:"name"`
	MACAddress string `json:"macAddress,omitempty"`
	Network    string `json:"network,omitempty"` // the name or id of the VM network it is attached to

	Primary bool     `json:"primary,omitempty"`
	Address *Address `json:"address,omitempty"` // as far as it is known
}

// Disk is a virtual disk of a VM.
type Disk struct {
	ID          string     `json:"id"`                  // unique within the VM: "os", "data1"
	File        string     `json:"file"`                // relative to the VM's folder
	Format      DiskFormat `json:"format"`              // how the file holds the content
	SizeBytes   int64      `json:"sizeBytes,omitempty"` // what the guest sees; the host fills it in
	OS          bool       `json:"os,omitempty"`
	SectorSize  int        `json:"sectorSize,omitempty"`  // 512 when absent; 4096 is 4K native
	Shared      bool       `json:"shared,omitempty"`      // attached to more than one VM
	PassThrough bool       `json:"passThrough,omitempty"` // a physical disk
}

// DiskFormat names a disk file's format.
type DiskFormat string

// The disk formats a local host serves.
const (
	Raw      DiskFormat = "raw"
	FixedVHD DiskFormat = "vhd"
)

// Guest is the process that plays the VM's operating system on a local host.
type Guest struct {
	Command      []string `json:"command"`                // program and arguments
	GraceSeconds int      `json:"graceSeconds,omitempty"` // how long a shutdown may take; 30 when absent
}

// Freeze are the commands that bring the guest's applications to rest for an
// application-consistent recovery point. Post runs whenever Pre was begun.
type Freeze struct {
	Pre            []string `json:"pre"`                      // flushes and freezes; program and arguments
	Post           []string `json:"post"`                     // thaws
	TimeoutSeconds int      `json:"timeoutSeconds,omitempty"` // how long the guest may be frozen, 10 when absent; as long may Post take
}

// MaxFreezeSeconds bounds Freeze.TimeoutSeconds: no application stands still for
// longer unharmed.
const MaxFreezeSeconds = 60

// PowerState says whether a VM runs.
type PowerState string

// The power states.
const (
	Running PowerState = "Running"
	Off     PowerState = "Off"
)
