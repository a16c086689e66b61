// Package distribution gives tokens out of the house: by token file, by
// compressed string, or by activation code for dynamic provisioning; the
// first time, or again with a new seed.
package distribution
