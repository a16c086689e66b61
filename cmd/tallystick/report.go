package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) reportCommands() *cobra.Command {
	return group("report", "What there is and what happened", p.reportStatistics())
}

func (p *program) reportStatistics() *cobra.Command {
	days := -1
	cmd := p.command("statistics", "Count tokens by what they are like now", 0, func(r run) error {
		s, err := r.server.Statistics(r.ctx, days)
		if err != nil {
			return err
		}
		rows := []struct {
			what string
			n    int
		}{
			{"software tokens", s.SoftwareTotal}, {"assigned", s.Assigned}, {"available", s.Available},
			{"available as next", s.SoftwareAvailable}, {"enabled", s.Enabled}, {"disabled", s.Disabled},
			{"expired", s.Expired}, {fmt.Sprintf("expiring within %d days", s.ExpiringDays), s.Expiring}, {"lost", s.Lost},
			{"replacements", s.Replacement}, {"replaced by another", s.Replaced}, {"over the issue limit", s.OverIssueLimit},
			{"in new-PIN mode", s.NewPIN}, {"in next-tokencode mode", s.NextTokencode}, {"locked users", s.LockedUsers},
			{"pending activations", s.PendingActivations}, {"never confirmed", s.NeverConfirmed},
		}
		return p.table(s, []string{"TOKENS", "COUNT"}, len(rows), func(i int) []string { return []string{rows[i].what, fmt.Sprintf("%9d", rows[i].n)} })
	})
	cmd.Flags().IntVar(&days, "expiring-days", days, "count tokens as expiring whose last day comes within so many `days` (default the setting warn_days)")
	cmd.Flags().Lookup("expiring-days").DefValue = "0"
	return cmd
}
