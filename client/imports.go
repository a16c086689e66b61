package client

import (
	"context"
	"io"
	"net/http"
	"time"
)

// An Import says how a file of token records is taken in as a job.
type Import struct {
	Format     string            `json:"format,omitempty"` // sdtid (the default) or csv
	Password   Secret            `json:"password,omitempty"`
	Mapping    map[string]string `json:"mapping,omitempty"`    // of a CSV file: from field to column, or to = and a value for all records
	Type       string            `json:"type,omitempty"`       // of records that do not say it: software (the default) or hardware
	Duplicates string            `json:"duplicates,omitempty"` // ignore (the default) or overwrite
	Name       string            `json:"name,omitempty"`       // of the job; unique
	DryRun     bool              `json:"dry_run,omitempty"`
	Domain     string            `json:"domain,omitempty"` // security domain of the new tokens; that of the key
}

// A TokenCreation asks for any number of tokens.
type TokenCreation struct {
	Count  int    `json:"count"`
	Birth  string `json:"birth,omitempty"`  // first valid day, YYYY-MM-DD; today
	Expiry string `json:"expiry,omitempty"` // last valid day; five years after the first
	Name   string `json:"name,omitempty"`   // of the job; unique
	DryRun bool   `json:"dry_run,omitempty"`
	Domain string `json:"domain,omitempty"` // security domain of the tokens; that of the key
}

// importPatience is how long the answer to an import may take: the server reads the whole file before it answers.
const importPatience = time.Hour

// StartImport starts the job that takes a file in, which is sent as it is read. The server has checked the whole file when it returns.
func (c *Client) StartImport(ctx context.Context, in Import, file io.Reader) (Job, error) {
	var j Job
	err := c.patient(importPatience).do(ctx, call{method: http.MethodPost, path: path("imports"), body: in, file: file, result: &j})
	return j, err
}

// StartCreation starts the job that makes tokens.
func (c *Client) StartCreation(ctx context.Context, n TokenCreation) (Job, error) {
	return post[Job](ctx, c, path("tokens", "create"), n)
}

// patient is the client with another limit to how long a call takes.
func (c *Client) patient(limit time.Duration) *Client {
	own, hc := *c, *c.http
	hc.Timeout = limit
	own.http = &hc
	return &own
}
