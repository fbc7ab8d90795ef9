// Command libcni-client drives CNI plugins through libcni, the library that container runtimes use.
//
// One process performs one verb and ends, so that a test sees exactly what a runtime would see:
// the result on standard output, or an error object (code, msg, details) there and exit status 1.
// A command line that cannot be understood is exit status 2, with the reason on standard error.
//
// libcni writes a cache of its own below -cache and reads it back for CHECK, DEL and GC (GC first
// sends DEL for each cached attachment that is not in the valid list). A test that wants to see a
// plugin's own GC at work gives that call an empty cache directory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// Codes from 100 on belong to whoever answers: these are this client's own.
const (
	codePluginNotUnderstood = 100
	codeCacheWithoutResult  = 101
	codeVersionWithoutVerb  = 102
)

// request is a command line that was understood.
type request struct {
	verb       string
	pluginDirs []string
	cacheDir   string
	list       *libcni.NetworkConfigList
	runtime    *libcni.RuntimeConf
	gc         *libcni.GCArgs
}

func main() {
	request, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "libcni-client:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := perform(ctx, request, os.Stdout); err != nil {
		printError(err, os.Stdout)
		stop()
		os.Exit(1)
	}
}

// parse turns a command line into a request, or says what is wrong with it.
func parse(args []string) (*request, error) {
	flags := flag.NewFlagSet("libcni-client", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Usage: libcni-client FLAGS add|check|del|gc|status|version")
		flags.PrintDefaults()
	}
	pluginDirs := flags.String("plugin-dir", "", "directories of the plugins, separated by commas")
	conf := flags.String("conf", "", "network configuration list (.conflist, or one plugin's .conf)")
	cache := flags.String("cache", "", "directory for libcni's cache (needed by add, check, del, gc)")
	netns := flags.String("netns", "", "path of the network namespace; empty is allowed for del")
	id := flags.String("id", "", "container id")
	ifname := flags.String("ifname", "eth0", "name of the interface in the namespace")
	cniArgs := flags.String("args", "", "CNI_ARGS as `K=V;K=V`")
	capabilities := flags.String("capability-args", "", "JSON object: capability to its argument")
	valid := flags.String("valid", "", "attachments that gc keeps: `id:ifname,…`, or none")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() != 1 {
		return nil, fmt.Errorf("one verb is expected after the flags, got %d words", flags.NArg())
	}
	if *pluginDirs == "" || *conf == "" {
		return nil, errors.New("-plugin-dir and -conf are needed by each verb")
	}
	r := &request{
		verb:       flags.Arg(0),
		pluginDirs: strings.Split(*pluginDirs, ","),
		cacheDir:   *cache,
		runtime:    &libcni.RuntimeConf{ContainerID: *id, NetNS: *netns, IfName: *ifname},
	}
	var err error
	if r.list, err = readList(*conf); err != nil {
		return nil, err
	}
	if r.runtime.Args, err = parseArgs(*cniArgs); err != nil {
		return nil, err
	}
	if *capabilities != "" {
		if err := json.Unmarshal([]byte(*capabilities), &r.runtime.CapabilityArgs); err != nil {
			return nil, fmt.Errorf("-capability-args is not a JSON object: %w", err)
		}
	}
	if r.gc, err = parseValid(*valid); err != nil {
		return nil, err
	}
	return r, r.complete()
}

// complete says what the verb needs and the command line did not give. Without a cache directory of
// its own libcni would use the machine's, which a test must never touch.
func (r *request) complete() error {
	switch r.verb {
	case "status", "version":
		return nil
	case "gc":
		if r.gc == nil {
			return errors.New("gc needs -valid: a list of attachments, or the word none")
		}
	case "add", "check":
		if r.runtime.ContainerID == "" || r.runtime.NetNS == "" {
			return fmt.Errorf("%s needs -id and -netns", r.verb)
		}
	case "del":
		if r.runtime.ContainerID == "" {
			return errors.New("del needs -id")
		}
	default:
		return fmt.Errorf("unknown verb %q: use add, check, del, gc, status or version", r.verb)
	}
	if r.cacheDir == "" {
		return fmt.Errorf("%s needs -cache", r.verb)
	}
	return nil
}

func readList(path string) (*libcni.NetworkConfigList, error) {
	if filepath.Ext(path) == ".conflist" {
		return libcni.NetworkConfFromFile(path)
	}
	one, err := libcni.ConfFromFile(path)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(one)
}

func parseArgs(text string) ([][2]string, error) {
	var args [][2]string
	if text == "" {
		return nil, nil
	}
	for _, pair := range strings.Split(text, ";") {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("-args: %q is not K=V", pair)
		}
		args = append(args, [2]string{key, value})
	}
	return args, nil
}

func parseValid(text string) (*libcni.GCArgs, error) {
	switch text {
	case "":
		return nil, nil
	case "none":
		return &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}, nil
	}
	args := &libcni.GCArgs{}
	for _, item := range strings.Split(text, ",") {
		id, ifname, found := strings.Cut(item, ":")
		if !found || id == "" || ifname == "" {
			return nil, fmt.Errorf("-valid: %q is not id:ifname", item)
		}
		attachment := types.GCAttachment{ContainerID: id, IfName: ifname}
		args.ValidAttachments = append(args.ValidAttachments, attachment)
	}
	return args, nil
}

// perform runs the verb and prints its result, if it has one.
func perform(ctx context.Context, r *request, out io.Writer) error {
	client := libcni.NewCNIConfigWithCacheDir(r.pluginDirs, r.cacheDir, nil)
	switch r.verb {
	case "add":
		result, err := client.AddNetworkList(ctx, r.list, r.runtime)
		if err != nil {
			return err
		}
		return result.PrintTo(out)
	case "check":
		return check(ctx, client, r)
	case "del":
		return client.DelNetworkList(ctx, r.list, r.runtime)
	case "gc":
		return client.GCNetworkList(ctx, r.list, r.gc)
	case "status":
		return status(ctx, client, r)
	default:
		return printVersions(ctx, client, r.list, out)
	}
}

// check refuses when the cache holds no result: libcni would send CHECK without prevResult, and the
// plugin's complaint about that would look like a finding.
func check(ctx context.Context, client *libcni.CNIConfig, r *request) error {
	cached, err := client.GetNetworkListCachedResult(r.list, r.runtime)
	if err != nil {
		return err
	}
	if cached == nil {
		reason := fmt.Sprintf("no result of add for %s in %s", r.runtime.ContainerID, r.cacheDir)
		return types.NewError(codeCacheWithoutResult, reason, "give the -cache that add was given")
	}
	return client.CheckNetworkList(ctx, r.list, r.runtime)
}

// status refuses a list older than CNI 1.1, for which libcni answers without asking any plugin.
func status(ctx context.Context, client *libcni.CNIConfig, r *request) error {
	asked, err := version.GreaterThanOrEqualTo(r.list.CNIVersion, "1.1.0")
	if err != nil {
		return err
	}
	if !asked {
		reason := fmt.Sprintf("CNI %s has no STATUS", r.list.CNIVersion)
		return types.NewError(codeVersionWithoutVerb, reason, "set cniVersion to 1.1.0 or later")
	}
	return client.GetStatusNetworkList(ctx, r.list)
}

// printVersions prints an object from each plugin of the list (its IPAM included) to its versions.
func printVersions(
	ctx context.Context, client *libcni.CNIConfig, list *libcni.NetworkConfigList, out io.Writer,
) error {
	versions := map[string][]string{}
	for _, plugin := range list.Plugins {
		for _, name := range []string{plugin.Network.Type, plugin.Network.IPAM.Type} {
			if name == "" {
				continue
			}
			info, err := client.GetVersionInfo(ctx, name)
			if err != nil {
				return fmt.Errorf("plugin %s: %w", name, err)
			}
			versions[name] = info.SupportedVersions()
		}
	}
	return writeJSON(versions, out)
}

// printError prints the plugin's error object as it came. libcni wraps it in prose of its own, which
// goes to standard error, so that a test can compare the object alone.
func printError(err error, out io.Writer) {
	fmt.Fprintln(os.Stderr, "libcni-client:", err)
	var object *types.Error
	if !errors.As(err, &object) {
		object = types.NewError(codePluginNotUnderstood, err.Error(), "")
	}
	if err := writeJSON(object, out); err != nil {
		fmt.Fprintln(os.Stderr, "libcni-client: cannot print the error:", err)
	}
}

func writeJSON(value any, out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "    ")
	return encoder.Encode(value)
}
