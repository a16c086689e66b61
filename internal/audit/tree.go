package audit

import (
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A tree is a Merkle tree in its compact form: the roots of its complete
// subtrees, largest first, at most one for each bit of the size. It is all
// that is needed to append and to compute the root, so neither sequencing nor
// verifying ever holds a whole tree.
type tree struct {
	size  int64
	roots []tlog.Hash
}

// add appends a leaf. It tells done of the leaf and of each subtree that it completes, with their heights.
func (t *tree) add(leaf tlog.Hash, done func(height int, h tlog.Hash)) {
	h := leaf
	done(0, h)
	for n, height := t.size, 1; n&1 == 1; n, height = n>>1, height+1 {
		last := len(t.roots) - 1
		h = tlog.NodeHash(t.roots[last], h)
		t.roots = t.roots[:last]
		done(height, h)
	}
	t.roots = append(t.roots, h)
	t.size++
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
