import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { listAddresses } from '../lib/netlink/address.ts';
import { listLinks } from '../lib/netlink/link.ts';
import { listNeighbours } from '../lib/netlink/neighbour.ts';
import { listRoutes } from '../lib/netlink/routes.ts';
import { listRules } from '../lib/netlink/rule-message.ts';
import { RouteSocket } from '../lib/netlink/socket.ts';
import { openNamespace } from '../lib/netns/netns.ts';
import { buildExampleState, exampleRules } from '../test/support/namespaces/example-state.ts';
import { recordingTransport } from '../test/support/namespaces/transport.ts';

// record-golden.sh calls this with the name of an empty namespace and the folder for the records.
const [name, folder] = process.argv.slice(2);
if (name === undefined || folder === undefined) throw new Error('usage: record-golden.ts <namespace> <folder>');

const ip = (command: string) =>
  execFileSync('ip', ['-n', name, ...command.split(' ')], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const namespace = openNamespace(`/run/netns/${name}`);

buildExampleState(ip);
const links = readLinks();
record('links', { all: (socket) => listLinks(socket) }, '-d link show');
record('addresses', perLink(listAddresses), '-d address show');
record('neighbours', perLink(listNeighbours), 'neighbour show nud all');
record('routes-ipv4', { all: (socket) => listRoutes(socket, 4) }, '-d -4 route show table all');
record('routes-ipv6', { all: (socket) => listRoutes(socket, 6) }, '-d -6 route show table all');
for (const family of [4, 6] as const) {
  for (const command of exampleRules(family)) ip(command);
  record(`rules-ipv${family}`, { all: (socket) => listRules(socket, family) }, `-d -${family} rule show`);
}

function readLinks() {
  const socket = RouteSocket.open(namespace);
  const list = listLinks(socket);
  socket.close();
  return list;
}

function perLink(list: (socket: RouteSocket, link: number) => unknown) {
  return Object.fromEntries(links.map(({ index }) => [index, (socket: RouteSocket) => list(socket, index)]));
}

// Compares before and after, so the datagrams describe exactly the state that `ip` printed.
function record(file: string, readers: { [key: string]: (socket: RouteSocket) => unknown }, command: string): void {
  for (;;) {
    const before = ip(`-j ${command}`);
    const received = Object.fromEntries(Object.entries(readers).map(([key, read]) => [key, datagramsOf(read)]));
    if (ip(`-j ${command}`) !== before) continue;
    const iproute2 = ip('-V').trim();
    const recorded = { kernel: release(), iproute2, command: `ip -j ${command}`, ip: JSON.parse(before), received };
    writeFileSync(join(folder ?? '', `${file}.json`), `${JSON.stringify(recorded, null, 1)}\n`);
    return;
  }
}

function datagramsOf(read: (socket: RouteSocket) => unknown): string[] {
  const received: string[] = [];
  const socket = new RouteSocket(recordingTransport(namespace, received));
  read(socket);
  socket.close();
  return received;
}
