# A server of two
server = true
bootstrap_expect = 1
data_dir = "/var/lib/consul"
node_meta { rack = "2", "row-1" = "x" }
ports { http = 0x50 dns = -1, rpc = 8400.0 }
addresses = { http = "127.0.0.1 {{ GetInterfaceIP \"eth0\" }}" }
dns_config {
  node_ttl = "5s"
  soa { refresh = 1e3 retry = 0600 }
}
recursors = ["8.8.8.8", "1.1.1.1",]
