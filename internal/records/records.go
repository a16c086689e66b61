// Package records brings token records into the system: made by the server, or imported from token files.
package records
