package client

import (
	"context"
	"io"
	"net/http"
)

// Backup writes a sealed copy of everything. After an error what was written is no backup.
func (c *Client) Backup(ctx context.Context, r BackupRequest, to io.Writer) error {
	return c.do(ctx, call{method: http.MethodPost, path: path("backup"), body: r, result: to})
}
