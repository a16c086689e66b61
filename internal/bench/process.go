package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a server that runs as a program of its own.
type process struct {
	cmd    *exec.Cmd
	socket string
	admin  http.Client
	agents string // where it takes requests over the SecurID Authentication API
	radius string // and over RADIUS
	roots  *x509.CertPool
	ended  chan struct{}

	mu   sync.Mutex
	last []string // lines that it said
}

const (
	startPatience = time.Minute
	stopPatience  = 30 * time.Second
	linesKept     = 20
)

// start starts a server on the deployment and waits until it serves.
func (d *deployment) start(ctx context.Context, p *Plan, n int) (*process, error) {
	p.Progress("starting a server")
	data := d.data(n)
	s := &process{socket: filepath.Join(data, "admin.sock"), ended: make(chan struct{})}
	s.admin.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}
	const free = "127.0.0.1:0"
	s.cmd = exec.Command(p.Program, "serve", "--data", data, "--master-key", filepath.Join(d.data(0), masterFile), "--listen", free)
	if p.Protocol == RADIUS {
		s.cmd.Args = append(s.cmd.Args, "--radius", free)
	} else {
		s.cmd.Args = append(s.cmd.Args, "--agent-listen", free)
	}
	s.cmd.Env = environment(d.database)
	said, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Program, err)
	}
	ready := make(chan struct{})
	go s.listen(said, ready)
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case <-ready:
	case <-s.ended:
		err = errEnded
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		s.roots, err = authority(filepath.Join(data, "ca.pem"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a server: %w; it said:\n%s", err, s.said()), s.stop())
	}
	return s, nil
}

// What a server says about where it can be asked.
var (
	servingAgents = regexp.MustCompile(` msg=serving .*agents=(\S+)`)
	servingRADIUS = regexp.MustCompile(` msg="serving RADIUS" port=authentication address=(\S+)`)
	serving       = " msg=serving "
)

// listen reads what the server says until it ends. ready is closed when it can be asked.
func (s *process) listen(said io.Reader, ready chan<- struct{}) {
	defer close(s.ended)
	served := false
	for lines := bufio.NewScanner(said); lines.Scan(); {
		line := lines.Text()
		s.mu.Lock()
		s.last = append(s.last, line)
		s.last = s.last[max(0, len(s.last)-linesKept):]
		s.mu.Unlock()
		if ready == nil {
			continue
		}
		served = served || strings.Contains(line, serving)
		for address, form := range map[*string]*regexp.Regexp{&s.agents: servingAgents, &s.radius: servingRADIUS} {
			if m := form.FindStringSubmatch(line); m != nil {
				*address = m[1]
			}
		}
		if served && s.agents+s.radius != "" {
			close(ready)
			ready = nil
		}
	}
	_ = s.cmd.Wait() // how it ended, ProcessState tells
}

// said is what the server said last.
func (s *process) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.last, "\n")
}

// stop has the server end.
func (s *process) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(stopPatience):
		_ = s.cmd.Process.Kill() // it may have ended meanwhile
		<-s.ended
	}
	if !s.cmd.ProcessState.Success() {
		return fmt.Errorf("the server ended with %v; it said:\n%s", s.cmd.ProcessState, s.said())
	}
	return nil
}

// authority reads the certificate that the server's own is signed by.
func authority(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// line opens a way to ask a server.
func (d *deployment) line(p *Plan, s *process) (line, error) {
	if p.Protocol == RADIUS {
		return newRADIUSLine(s.radius, d.secret)
	}
	host, _, err := net.SplitHostPort(s.agents)
	if err != nil {
		return nil, err
	}
	return newRESTLine(s.agents, d.accessKey, &tls.Config{RootCAs: s.roots, ServerName: host, MinVersion: tls.VersionTLS13}), nil
}

// Vital are numbers of a server process at one moment.
type Vital struct {
	RSS        int64   `json:"rss_bytes"`
	Goroutines int     `json:"goroutines"`
	Files      int     `json:"open_files"`
	Processor  float64 `json:"processor_seconds"` // used so far
	waiting    int     // events without a place in the audit log, as far as they are counted
}

// vitals asks the server for its numbers.
func (s *process) vitals(ctx context.Context) (Vital, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/metrics", nil)
	if err != nil {
		return Vital{}, err
	}
	answer, err := s.admin.Do(q)
	if err != nil {
		return Vital{}, fmt.Errorf("asking the server for its numbers: %w; it said:\n%s", err, s.said())
	}
	defer answer.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	return Vital{
		RSS: int64(values["process_resident_memory_bytes"]), Goroutines: int(values["go_goroutines"]), Files: int(values["process_open_fds"]),
		Processor: values["process_cpu_seconds_total"], waiting: int(values["tallystick_audit_pending_events"]),
	}, nil
}

const restPatience = 2 * time.Minute

// rest waits until all events of the load have their place in the audit log, and tells how long that took.
func (s *process) rest(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := s.vitals(ctx)
		if took := time.Since(begin); err != nil || v.waiting <= 0 || took > restPatience {
			return took, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
