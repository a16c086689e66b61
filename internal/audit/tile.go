package audit

import (
	"bytes"
	"context"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/fault"
)

const (
	tileHeight = 8               // levels of the tree in a tile
	tileWidth  = 1 << tileHeight // hashes in a full tile
)

// A TileAt is which tile: of the level L and number N of package tlog, with tiles of height 8.
type TileAt struct {
	Level  int
	Number int64
}

// A Tile keeps up to 256 neighbouring hashes of the tree: those of events (level 0), of every 256 events (level 1), of every
// 65536 (level 2) and so on. The rest of the tree follows from them, and a tile only ever grows at its end.
type Tile struct {
	TileAt
	Hashes []byte // 32 bytes each
}

// LeafTile is the tile that holds the hash of the event at a place, and where in it.
func LeafTile(place int64) (at TileAt, offset int) {
	return TileAt{0, place >> tileHeight}, int(place%tileWidth) * tlog.HashSize
}

// An edge is a tree that grows, with the tiles at its right edge, which it grows in.
type edge struct {
	tree
	open []Tile // by level; of less than 256 hashes
}

// loadEdge reads the edge of the tree of the first size events.
func loadEdge(ctx context.Context, s Store, size int64) (edge, error) {
	var e edge
	var stored []TileAt
	for level, rest := 0, size; rest > 0; level, rest = level+1, rest>>tileHeight {
		at := TileAt{level, rest >> tileHeight}
		e.open = append(e.open, Tile{TileAt: at})
		if rest%tileWidth > 0 {
			stored = append(stored, at)
		}
	}
	hashes, err := s.Tiles(ctx, stored)
	if err != nil {
		return edge{}, err
	}
	for _, at := range stored {
		width := int(size>>(at.Level*tileHeight)%tileWidth) * tlog.HashSize
		if len(hashes[at]) < width {
			return edge{}, fault.New(fault.AuditTampered, "hashes of the audit log's tree are missing: run tallystick audit verify")
		}
		e.open[at.Level].Hashes = bytes.Clone(hashes[at][:width]) // it may have grown beyond size
	}
	e.size = size
	for level := len(e.open) - 1; level >= 0; level-- {
		e.roots = appendRoots(e.roots, e.open[level].Hashes)
	}
	return e, nil
}

// signedTiles are the tiles of a tree whose root was signed, each held against the one above it.
type signedTiles struct {
	store Store
	edge  edge
	known map[TileAt][]byte
}

// at returns the hashes of a tile; none of one behind the edge.
func (s signedTiles) at(ctx context.Context, at TileAt) ([]byte, error) {
	if at.Level >= len(s.edge.open) || at.Number > s.edge.open[at.Level].Number {
		return nil, nil
	}
	if open := s.edge.open[at.Level]; at.Number == open.Number {
		return open.Hashes, nil
	}
	if hashes, there := s.known[at]; there {
		return hashes, nil
	}
	parent, err := s.at(ctx, TileAt{at.Level + 1, at.Number >> tileHeight})
	if err != nil {
		return nil, err
	}
	tiles, err := s.store.Tiles(ctx, []TileAt{at})
	if err != nil {
		return nil, err
	}
	hashes, offset := tiles[at], int(at.Number%tileWidth)*tlog.HashSize
	if len(hashes) != tileWidth*tlog.HashSize || above(hashes) != tlog.Hash(parent[offset:offset+tlog.HashSize]) {
		return nil, fault.New(fault.AuditTampered, "hashes of the audit log's tree are not those that were signed: run tallystick audit verify")
	}
	s.known[at] = hashes
	return hashes, nil
}

// appendRoots adds the roots of the largest complete trees above neighbouring hashes.
func appendRoots(roots []tlog.Hash, hashes []byte) []tlog.Hash {
	for len(hashes) > 0 {
		largest := 1 << (bits.Len(uint(len(hashes)/tlog.HashSize)) - 1) * tlog.HashSize
		roots = append(roots, above(hashes[:largest]))
		hashes = hashes[largest:]
	}
	return roots
}

// above is the root above a power of two of hashes.
func above(hashes []byte) tlog.Hash {
	if len(hashes) == tlog.HashSize {
		return tlog.Hash(hashes)
	}
	half := len(hashes) / 2
	return tlog.NodeHash(above(hashes[:half]), above(hashes[half:]))
}

// append adds leaves and returns the tiles that have changed.
func (e *edge) append(leaves []tlog.Hash) []Tile {
	var full []Tile
	changed := map[int]bool{}
	keep := func(level int, h tlog.Hash) {
		if level == len(e.open) {
			e.open = append(e.open, Tile{TileAt: TileAt{Level: level}})
		}
		t := &e.open[level]
		t.Hashes = append(t.Hashes, h[:]...)
		changed[level] = true
		if len(t.Hashes) == tileWidth*tlog.HashSize {
			full = append(full, *t)
			*t = Tile{TileAt: TileAt{level, t.Number + 1}, Hashes: make([]byte, 0, tileWidth*tlog.HashSize)}
			changed[level] = false
		}
	}
	for _, leaf := range leaves {
		e.add(leaf, func(height int, h tlog.Hash) {
			if height%tileHeight == 0 {
				keep(height/tileHeight, h)
			}
		})
	}
	for level, t := range e.open {
		if changed[level] {
			full = append(full, t)
		}
	}
	return full
}
