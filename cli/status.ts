import { request } from 'node:http';
import type { Failure, Status } from '../agent/status.ts';

/** Asks the agent at a socket how it is. Throws an Error if none answers. */
export async function readStatus(socket: string): Promise<Status> {
  const text = await readPage(socket, '/status');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`no agent answers at ${socket}: what came is not JSON`, { cause });
  }
}

/** The same for a person to read. */
export function formatStatus(status: Status): string {
  const { version, pid, uptimeSeconds, requests, errors, running, waiting, patient, memoryBytes } = status;
  const latency = Object.entries(status.latencySeconds).map(([name, value]) => `${name} ${milliseconds(value)}`);
  return [
    `waymark agent ${version}, process ${pid}, up ${duration(uptimeSeconds)}, ${Math.round(memoryBytes / 1e6)} MB`,
    `requests: ${requests}, of which errors: ${errors}; running ${running}, waiting ${waiting}, patient ${patient}`,
    ...slowLines(status),
    `latency: ${latency.join(', ')}`,
    ...status.calls.map(({ plugin, verb, code, count }) => `  ${plugin} ${verb}: ${count} ${result(code)}`),
    `journals: ${Object.entries(status.journals)
      .map(([plugin, count]) => `${plugin} ${count}`)
      .join(', ')}`,
    ...installationLines(status.installation),
    ...attachmentLines(status.attachments),
    ...hotPlugLines(status.hotPlug),
    ...(status.lastFailures.length > 0 ? ['last failures:'] : []),
    ...status.lastFailures.flatMap(failureLines),
  ].join('\n');
}

function failureLines({ time, plugin, verb, pod, containerID, network, cniCode, message, details }: Failure): string[] {
  const whose = [pod ?? containerID, network].filter((name) => name !== undefined).join(' ');
  const problems = details?.split('\n').map((problem) => `    ${problem}`) ?? [];
  return [`  ${time} ${plugin} ${verb} ${whose}: ${message ?? 'failed'} (${cniCode})`, ...problems].map(printable);
}

/** What callers say must not command the terminal: one line without control characters. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

// Whoever asks how fast calls are must learn that some were not the agent's.
function slowLines({ refused = {}, fallbacks }: Status): string[] {
  const reasons = Object.entries(refused).map(([reason, count]) => `${reason} ${count}`);
  const count = fallbacks?.count ?? 0;
  return [
    ...(reasons.length > 0 ? [printable(`handed back: ${reasons.join(', ')}`)] : []),
    ...(count > 0 ? [`fallbacks: ${count} calls ran the slow executable, the last ${fallbacks?.last}`] : []),
  ];
}

function attachmentLines(attachments: Status['attachments'] = {}): string[] {
  const states = Object.entries(attachments).filter(([, count]) => count > 0);
  return states.length > 0 ? [`attachments: ${states.map(([state, count]) => `${state} ${count}`).join(', ')}`] : [];
}

function installationLines(installation: Status['installation']): string[] {
  if (installation === undefined) return [];
  const { binDir, mode, problem } = installation;
  return [
    printable(
      `installed in ${binDir}, for ${mode}: ${problem === undefined ? 'in place' : `not in place: ${problem}`}`,
    ),
  ];
}

function hotPlugLines(hotPlug: Status['hotPlug']): string[] {
  if (hotPlug === undefined) return [];
  const {
    node,
    pods,
    isSynced,
    busy,
    delegatesRunning,
    pending,
    withoutDefinition = [],
    podsWatched,
    fileProblems = [],
    attached,
    silentSince,
  } = hotPlug;
  const watched = podsWatched === undefined ? '' : ` ${podsWatched} watched,`;
  const counts = `${pods} pods, ${busy} busy,${watched} ${delegatesRunning} plugins running, ${pending.length} pending`;
  return [
    `hot-plug on ${node}: ${isSynced ? counts : 'the API server has not answered yet'}`,
    ...(isSynced && silentSince !== undefined ? [`  the API server has not answered since ${silentSince}`] : []),
    ...pending.map(({ pod, what, reason, retryInSeconds }) => {
      return printable(`  ${pod}: ${what}: ${reason}; next try in ${retryInSeconds} s`);
    }),
    ...fileProblems.map((problem) => printable(`  a file of the ConfigMap cannot be written: ${problem}`)),
    ...withoutDefinition.map(({ pod, ifname, network }) => {
      return printable(`  ${pod}: ${network} is not defined any more: ${ifname} keeps its routes`);
    }),
    ...attached.map(({ pod, interfaces }) => {
      const list = interfaces.map(({ ifname, network, state }) => {
        return `${ifname} on ${network}${state === 'attached' ? '' : ` (${state})`}`;
      });
      return printable(`  ${pod} has ${list.join(', ')}`);
    }),
  ];
}

function result(code: number): string {
  return code === 0 ? 'done' : `with error ${code}`;
}

function milliseconds(seconds: number | null): string {
  return seconds === null ? 'unknown' : `at most ${seconds * 1000} ms`;
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

/** No page comes from an agent; `reason` is the agent's own, if it gave one. */
export class NoPage extends Error {
  readonly reason: string | undefined;

  constructor(socketPath: string, why: string, reason?: string) {
    super(`no agent answers at ${socketPath}: ${why}`);
    this.reason = reason;
  }
}

/** A page of the agent at a socket. Throws NoPage. */
export function readPage(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const failed = (why: string, reason?: string) => reject(new NoPage(socketPath, why, reason));
    const asked = request({ socketPath, path, timeout: 5000 }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', (error) => failed(error.message));
      response.on('end', () => {
        const body = Buffer.concat(pieces).toString();
        if (response.statusCode === 200) resolve(body);
        else failed(body.trim(), body.trim());
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('timeout')));
    asked.on('error', (error) => failed(error.message));
    asked.end();
  });
}
