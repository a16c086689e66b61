package audit

import (
	"context"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/fault"
)

// A tree is a Merkle tree in its compact form: the roots of its complete
// subtrees, largest first, at most one for each bit of the size. It is all
// that is needed to append and to compute the root, so neither sequencing nor
// verifying ever holds a whole tree.
type tree struct {
	size  int64
	roots []tlog.Hash
}

// add appends a leaf. It returns what the store keeps of it, in the order of
// tlog.StoredHashIndex: the leaf and each subtree that it completes, added to hashes.
func (t *tree) add(hashes []tlog.Hash, leaf tlog.Hash) []tlog.Hash {
	hashes = append(hashes, leaf)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.roots) - 1
		leaf = tlog.NodeHash(t.roots[last], leaf)
		t.roots = t.roots[:last]
		hashes = append(hashes, leaf)
	}
	t.roots = append(t.roots, leaf)
	t.size++
	return hashes
}

// root returns the hash of the tree; that of an empty one is as RFC 9162 has it.
func (t *tree) root() tlog.Hash {
	if t.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // reads nothing, so cannot fail
		return h
	}
	h := t.roots[len(t.roots)-1]
	for i := len(t.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.roots[i], h)
	}
	return h
}

// copy returns a tree that grows on its own.
func (t *tree) copy() tree { return tree{t.size, slices.Clone(t.roots)} }

// loadTree reads the tree of the first size events from the stored hashes.
func loadTree(ctx context.Context, s Store, size int64) (tree, error) {
	if size == 0 {
		return tree{}, nil
	}
	var indexes []int64
	for rest, start := size, int64(0); rest > 0; {
		level := bits.Len64(uint64(rest)) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, start>>level))
		start += 1 << level
		rest -= 1 << level
	}
	roots, err := s.Hashes(ctx, indexes)
	if err != nil {
		return tree{}, err
	}
	if len(roots) != len(indexes) {
		return tree{}, fault.New(fault.AuditTampered, "hashes of the audit log's tree are missing")
	}
	return tree{size, roots}, nil
}
