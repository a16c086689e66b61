package client

import (
	"context"
	"io"
	"net/http"
)

// A TransferKey is what tokens for a deployment are sealed to, and what those that come from it are signed with.
type TransferKey struct {
	PublicKey string `json:"public_key"` // of age
	SignerKey string `json:"signer_key"` // public key of Ed25519: tallystick-signer:...
}

// A TokenExport says which tokens go to another deployment.
type TokenExport struct {
	Selection Selection `json:"selection"`
	To        string    `json:"to"`                   // the other deployment's TransferKey
	WithUsers bool      `json:"with_users,omitempty"` // they stay assigned
}

// A TransferFile says how a file with tokens of another deployment is taken in.
type TransferFile struct {
	From   string `json:"from,omitempty"` // SignerKey of the deployment that must have made it; "" for any
	Name   string `json:"name,omitempty"` // of the job; unique
	DryRun bool   `json:"dry_run,omitempty"`
	Domain string `json:"domain,omitempty"` // security domain of the tokens and of new users; that of the key
}

// TransferKey returns the key that tokens for this deployment are sealed to.
func (c *Client) TransferKey(ctx context.Context) (TransferKey, error) {
	return get[TransferKey](ctx, c, path("transfer", "key"), query{})
}

// ExportTokens writes tokens for another deployment. After an error what was written is no export.
func (c *Client) ExportTokens(ctx context.Context, e TokenExport, to io.Writer) error {
	return c.do(ctx, call{method: http.MethodPost, path: path("transfer", "export"), body: e, result: to})
}

// ReceiveTokens starts the job that takes in tokens of another deployment. The server has checked the whole file when it returns.
func (c *Client) ReceiveTokens(ctx context.Context, f TransferFile, file io.Reader) (Job, error) {
	var j Job
	err := c.patient(importPatience).do(ctx, call{method: http.MethodPost, path: path("transfer", "import"), body: f, file: file, result: &j})
	return j, err
}
