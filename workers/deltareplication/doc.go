// Package deltareplication makes the replica follow its source: it cuts the VM's
// change logs, ships them to the replica store, applies them there in order and
// makes a recovery point of each cut.
//
// Nothing here keeps a journal of its own. What is unfinished after a crash shows
// in three places, and a cycle begins by finishing it: cuts that the host has not
// released have not been shipped, cut records in the store that lie behind the
// newest point's have not been applied, and a point of the store that the item
// does not list has not been recorded.
//
// An item's objects in the store:
//
//	logs/<disk>/<number>-<log>.hrl   a shipped change log
//	cuts/<number>-<cut>.json         a shipped cut: the logs of all disks
//	chain/<cut>.json                 what the point of that cut ends with
//
// Numbers grow with each cut, so names ascend in chain order.
package deltareplication
