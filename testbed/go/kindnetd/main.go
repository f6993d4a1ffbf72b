// Stand-in for kind's network daemon: an address for every pod of this node, a route to every other node's pods,
// and masquerading for what leaves the pod network. It reads nothing but nodes and enforces no NetworkPolicy.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	conf    = "/etc/cni/net.d/10-kindnet.conflist"
	chain   = "KIND-MASQ-AGENT"
)

type node struct {
	Metadata struct{ Name string }
	Spec     struct{ PodCIDR string }
	Status   struct {
		Addresses []struct{ Type, Address string }
	}
}

func (n node) address() string {
	for _, a := range n.Status.Addresses {
		if a.Type == "InternalIP" {
			return a.Address
		}
	}
	return ""
}

type nodeList struct {
	Metadata struct{ ResourceVersion string }
	Items    []node
}

func main() {
	hostIP := os.Getenv("HOST_IP")
	podSubnet, _, _ := strings.Cut(os.Getenv("POD_SUBNET"), ",") // IPv4 comes first
	if hostIP == "" || podSubnet == "" {
		log.Fatal("HOST_IP and POD_SUBNET must be set")
	}
	hostname, _ := os.Hostname()
	for {
		nodes, err := list()
		if err == nil {
			err = apply(nodes.Items, hostIP, hostname, podSubnet)
		}
		if err == nil {
			err = waitForChange(nodes.Metadata.ResourceVersion)
		}
		if err != nil {
			log.Print(err)
			time.Sleep(time.Second)
		}
	}
}

// get asks the API server with the pod's own account; the token is read each time because it is renewed.
func get(query string) (*http.Response, error) {
	ca, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	server := os.Getenv("CONTROL_PLANE_ENDPOINT")
	if server == "" {
		server = net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
	}
	request, err := http.NewRequest("GET", "https://"+server+"/api/v1/nodes?"+query, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		response.Body.Close()
		return nil, fmt.Errorf("nodes: %s: %s", response.Status, text)
	}
	return response, nil
}

func list() (nodeList, error) {
	var nodes nodeList
	response, err := get("")
	if err != nil {
		return nodes, err
	}
	defer response.Body.Close()
	return nodes, json.NewDecoder(response.Body).Decode(&nodes)
}

// waitForChange returns at the first change of any node, or after half a minute.
func waitForChange(version string) error {
	response, err := get("watch=true&timeoutSeconds=30&resourceVersion=" + version)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var event struct{ Type string }
	if err := json.NewDecoder(response.Body).Decode(&event); err == io.EOF {
		return nil
	} else {
		return err
	}
}

func apply(nodes []node, hostIP, hostname, podSubnet string) error {
	for _, n := range nodes {
		cidr, address := n.Spec.PodCIDR, n.address()
		switch {
		case cidr == "":
		case address == hostIP || n.Metadata.Name == hostname:
			if err := masquerade(podSubnet); err != nil {
				return err
			}
			if err := configure(cidr); err != nil {
				return err
			}
		case address != "":
			if err := run("ip", "route", "replace", cidr, "via", address); err != nil {
				return err
			}
		}
	}
	return nil
}

// configure tells the node's container runtime how to connect a pod; the file appears whole or not at all.
func configure(cidr string) error {
	list, err := json.Marshal(map[string]any{
		"cniVersion": "0.3.1",
		"name":       "kindnet",
		"plugins": []any{
			map[string]any{
				"type":   "ptp",
				"ipMasq": false,
				"ipam": map[string]any{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []any{map[string]string{"dst": "0.0.0.0/0"}},
					"ranges":  []any{[]any{map[string]string{"subnet": cidr}}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		},
	})
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(conf); err == nil && bytes.Equal(old, list) {
		return nil
	}
	if err := os.WriteFile(conf+".new", list, 0o644); err != nil {
		return err
	}
	log.Printf("pods of this node get addresses from %s", cidr)
	return os.Rename(conf+".new", conf)
}

// masquerade hides pod addresses from everything outside the pod network.
func masquerade(podSubnet string) error {
	_ = run("iptables", "-w", "-t", "nat", "-N", chain) // fails when it is there
	rules := [][]string{
		{chain, "-d", podSubnet, "-j", "RETURN"},
		{chain, "-j", "MASQUERADE"},
		{"POSTROUTING", "-s", podSubnet, "-m", "addrtype", "!", "--dst-type", "LOCAL", "-j", chain},
	}
	for _, rule := range rules {
		if run("iptables", append([]string{"-w", "-t", "nat", "-C"}, rule...)...) == nil {
			continue
		}
		if err := run("iptables", append([]string{"-w", "-t", "nat", "-A"}, rule...)...); err != nil {
			return err
		}
	}
	return nil
}

func run(program string, args ...string) error {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
