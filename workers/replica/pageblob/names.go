package pageblob

// Sizes of the service.
const (
	pageSize = 512
	maxPut   = 4 << 20 // of one Put Page
	mib      = 1 << 20
	grain    = 64 << 10 // all-zero grains are cleared, not written
)

func diskName(item, disk string) string   { return disksPrefix(item) + disk + ".vhd" }
func disksPrefix(item string) string      { return item + "/disks/" }
func objectName(item, name string) string { return objectsPrefix(item) + name }
func objectsPrefix(item string) string    { return item + "/objects/" }
func indexName(item string) string        { return item + "/index.json" }

// padded is the size of a VHD that holds size bytes: whole MiB, as Azure asks.
func padded(size int64) int64 { return (size + mib - 1) / mib * mib }
