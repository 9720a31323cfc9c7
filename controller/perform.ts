import { existsSync } from 'node:fs';
import { type Family, familyOf } from '../lib/address/address.ts';
import { forgetBirthAttachment, ownBirthAttachments } from '../lib/attachments/birth-record.ts';
import { CACHE_FOLDERS, cachedCalls, deviceOf, linksOf } from '../lib/attachments/caches.ts';
import type { Definitions } from '../lib/attachments/definitions.ts';
import { type Delegates, networkFromRecord } from '../lib/attachments/delegates.ts';
import { chooseDevice } from '../lib/attachments/devices.ts';
import { linkNamed, linksIn } from '../lib/attachments/links.ts';
import {
  checkTypes,
  inputOf,
  NetworkError,
  networkOf,
  type Place,
  type Prepared,
  prepare,
  resourceOf,
} from '../lib/attachments/network.ts';
import { isolationProblem, type NetworkRequest } from '../lib/attachments/selection.ts';
import { defaultEntries, parseStatus } from '../lib/attachments/status.ts';
import type { Attachment, Step } from '../lib/attachments/steps.ts';
import type { JsonObject } from '../lib/cni/json.ts';
import type { PathOf } from '../lib/cni/place.ts';
import type { DefaultRoutes } from '../lib/default-route/default-route.ts';
import { FileError } from '../lib/files/files.ts';
import type { PodResources } from '../lib/kubelet/pod-resources.ts';
import { ApiError } from '../lib/kubernetes/errors.ts';
import type { KubeObject } from '../lib/kubernetes/object.ts';
import type { AttachmentInput } from '../lib/runtime/derive.ts';
import { RuntimeError } from '../lib/runtime/errors.ts';
import type { NetworkList } from '../lib/runtime/network.ts';
import type { Sandboxed } from './look.ts';
import {
  type RecordedAttachment,
  type Records,
  type SandboxRecord,
  withAttachment,
  withoutAttachment,
} from './records.ts';

export type PerformerOptions = {
  readonly records: Records;
  readonly delegates: Pick<Delegates, 'add' | 'del'>;
  readonly definitions: Pick<Definitions, 'get'>;
  readonly defaultRoutes: Pick<DefaultRoutes, 'set' | 'yield' | 'reset'>;
  readonly devices: Pick<PodResources, 'devicesOf'>;
  readonly pathOf: PathOf;
  readonly allowedTypes: ReadonlySet<string> | undefined;
  /** See `isolationProblem`. */
  readonly globalNamespaces: ReadonlySet<string> | undefined;
  readonly cacheFolders?: readonly string[];
  /** Once it is aborted, nothing further is released. */
  readonly signal?: AbortSignal;
};

/** One entry has some 300 characters; whoever may write the status must not fill the disk. */
const MAX_DEFAULTS = 4096;

/** How a definition is read. Throws ApiError. */
type Read = (network: string) => Promise<KubeObject>;

/** Makes single steps. Each is recorded before it is made, so that whoever comes after a killed agent knows of it. */
export class Performer {
  readonly #options: PerformerOptions;

  constructor(options: PerformerOptions) {
    this.#options = options;
  }

  /** Our record of a sandbox; an empty one if we have done nothing there. */
  recordOf({ pod, containerID, netns }: Sandboxed): SandboxRecord {
    const { namespace, name, sandboxUid: uid } = pod;
    const none = {
      version: 1,
      containerID,
      netns,
      pod: { namespace, name, uid },
      attachments: [],
      defaults: [],
    } as const;
    const known = this.#options.records.get(containerID) ?? none;
    const seen = defaultEntries(parseStatus(pod.status) ?? []);
    const isKept = seen.length > 0 && JSON.stringify(seen).length <= MAX_DEFAULTS;
    return isKept ? { ...known, defaults: seen } : known;
  }

  /** What `attach` would call. Throws ApiError, NetworkError and RuntimeError. */
  async prepareAttach(
    sandboxed: Sandboxed,
    { ifname, selection, keepMac }: Step & { kind: 'attach' },
    read: Read = (network) => this.#options.definitions.get(network),
  ): Promise<Prepared> {
    const definition = await read(selection.network);
    const place = placeOf(sandboxed, ifname);
    const resource = resourceOf(definition);
    const device = resource && (await this.#deviceFor(sandboxed, resource, ifname, selection.request));
    return prepare(definition, selection, sandboxed.pod, place, keepMac, this.#options.allowedTypes, device);
  }

  // One that the kubelet has given the pod, and that no other attachment uses.
  async #deviceFor(sandboxed: Sandboxed, resource: string, ifname: string, { deviceID }: NetworkRequest) {
    const given = await this.#options.devices.devicesOf(sandboxed.pod, resource);
    return chooseDevice({ resource, given, used: this.#devicesInUse(sandboxed, ifname), asked: deviceID });
  }

  // By our records, and by what others cached of attachments whose links are there.
  #devicesInUse({ containerID, netns }: Sandboxed, ifname: string): Set<string | undefined> {
    const { records, pathOf, cacheFolders = CACHE_FOLDERS } = this.#options;
    const own = (records.get(containerID)?.attachments ?? []).filter((item) => item.ifname !== ifname);
    const links = linksIn(pathOf(netns));
    const others = cachedCalls(containerID, cacheFolders, pathOf).filter(({ result }) =>
      linksOf(result).some((name) => linkNamed(links, name) !== undefined),
    );
    return new Set([
      ...own.map(({ call }) => call?.input.capabilityArgs.deviceID as string | undefined),
      ...others.map(deviceOf),
    ]);
  }

  // ADD, and the default route that goes with it. What fails is undone as a whole.
  async #add(sandboxed: Sandboxed, { list, input }: Prepared, { defaultRoute }: NetworkRequest): Promise<JsonObject> {
    const { delegates, defaultRoutes } = this.#options;
    const made = await delegates.add(list, input);
    const attached = { network: list, input };
    try {
      const result = defaultRoute === undefined ? made : await defaultRoutes.set(attached, defaultRoute, made);
      const yields = this.#familiesOfOthers(sandboxed, input.ifname, defaultRoute ?? []);
      // A plugin that makes no interface has no default route either.
      const isNeeded = yields.length > 0 && this.#hasLink(sandboxed, [input.ifname, ...linksOf(made)]);
      return isNeeded ? await defaultRoutes.yield(attached, yields, result) : result;
    } catch (error) {
      const { message } = error as Error;
      try {
        await this.#del(list, input, made);
      } catch (failure) {
        const text = `${message}; what ADD did is not undone: ${(failure as Error).message}`;
        throw new RuntimeError(text, { cause: error, isUndone: false });
      }
      throw new RuntimeError(message, { cause: error });
    }
  }

  // DEL, before it the default route: while the interface is there, that goes and those before it come back in one go.
  async #del(list: NetworkList, input: AttachmentInput, result: JsonObject | undefined): Promise<void> {
    await this.#options.defaultRoutes.reset({ network: list, input });
    await this.#options.delegates.del(list, input, result);
  }

  // Whoever was chosen for the default route keeps it when a network comes that brings one of its own.
  #familiesOfOthers(sandboxed: Sandboxed, added: string, own: readonly string[]): Family[] {
    const { pathOf, cacheFolders = CACHE_FOLDERS } = this.#options;
    const atBirth = ownBirthAttachments(sandboxed.containerID, cacheFolders, pathOf);
    const all = [...this.recordOf(sandboxed).attachments, ...atBirth];
    const chosen = all.flatMap(({ ifname, state, request: { defaultRoute = [] } }) =>
      ifname !== added && state === 'attached' ? defaultRoute : [],
    );
    const families = new Set(chosen.map(familyOf));
    return [...families].filter((family) => !own.some((gateway) => familyOf(gateway) === family));
  }

  /** What `detach` would call: by our record, else by what others know. Throws ApiError, NetworkError and RuntimeError. */
  async prepareDetach(
    sandboxed: Sandboxed,
    attachment: Attachment,
    read: Read = (network) => this.#options.definitions.get(network),
  ): Promise<RecordedAttachment> {
    return this.#own(sandboxed, attachment.ifname) ?? (await this.#adopt(sandboxed, attachment, read));
  }

  /** Throws ApiError, NetworkError and RuntimeError; the pod is as before then, unless the record says otherwise. */
  async attach(sandboxed: Sandboxed, step: Step & { kind: 'attach' }, read?: Read): Promise<void> {
    const { records } = this.#options;
    const { ifname, selection, keepMac } = step;
    const { network, request } = selection;
    const { list, input } = await this.prepareAttach(sandboxed, step, read);
    // Right before ADD: a failed ADD is followed by DEL, which must not meet an interface of somebody else.
    if (this.#hasLink(sandboxed, [ifname])) {
      throw new NetworkError(`the pod has an interface ${ifname} of somebody else`);
    }
    const kept = keepMac === undefined ? {} : { keepMac };
    const about = { ifname, network, request, ...kept };
    const call = { list: list.source, input };
    records.put(withAttachment(this.recordOf(sandboxed), { ...about, state: 'unfinished', call }));
    try {
      const result = await this.#add(sandboxed, { list, input }, request);
      records.put(withAttachment(this.recordOf(sandboxed), { ...about, state: 'attached', call, result }));
    } catch (error) {
      // An ADD that could not be undone stays recorded as unfinished: DEL comes before the next try.
      if (error instanceof RuntimeError && error.isUndone) this.#forget(sandboxed, about);
      throw error;
    }
  }

  /** Throws ApiError, NetworkError and RuntimeError; then it has to be done again. */
  async detach(sandboxed: Sandboxed, step: Step & { kind: 'detach' }, attachment: Attachment): Promise<void> {
    const { records } = this.#options;
    const { ifname, keepMac } = step;
    const own = this.#own(sandboxed, ifname);
    const recorded = await this.prepareDetach(sandboxed, attachment);
    if (recorded.call !== undefined) {
      const begun = withAttachment(this.recordOf(sandboxed), { ...recorded, state: 'unfinished' });
      // A full disk must not keep what is recorded already from being detached.
      if (own === undefined) records.put(begun);
      else records.putOrKeep(begun);
      const { input } = recorded.call;
      const list = networkFromRecord(recorded.call.list);
      await this.#del(list, input, recorded.result);
      if (this.#hasLink(sandboxed, [ifname, ...attachment.links])) {
        throw new NetworkError(`the plugins ended well, but interface ${ifname} is still there`);
      }
      this.#forgetBirth(sandboxed, ifname);
    }
    const { network, request } = recorded;
    this.#forget(sandboxed, { ifname, network, request, ...(keepMac !== undefined && { keepMac }) });
  }

  /** DEL for all that a record has, of a sandbox that is gone or about to go. Throws what fails, after all was tried. */
  async release(record: SandboxRecord): Promise<void> {
    const { records, pathOf, signal } = this.#options;
    const netns = existsSync(pathOf(record.netns)) ? record.netns : '';
    const failures: string[] = [];
    for (const { ifname, call, result } of record.attachments.toReversed()) {
      try {
        if (signal?.aborted) throw new NetworkError(`${ifname} is left to the next agent, since this one stops`);
        if (call !== undefined) {
          const [list, input] = [networkFromRecord(call.list), { ...call.input, netns }];
          await this.#del(list, input, result);
        }
        records.putOrKeep(withoutAttachment(records.get(record.containerID) ?? record, ifname));
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
    if (failures.length > 0) throw new NetworkError(failures.join('\n'));
  }

  // What others attached, as their caches have it; where these are gone, by the definition as it is now. Whoever may write a
  // pod's status must not get more out of it than out of a selection, so the same rules hold.
  async #adopt(
    sandboxed: Sandboxed,
    { ifname, network, request = {} }: Attachment,
    read: Read,
  ): Promise<RecordedAttachment> {
    const { pathOf, cacheFolders = CACHE_FOLDERS, allowedTypes, globalNamespaces } = this.#options;
    const [namespace = ''] = network.split('/');
    const problem = isolationProblem(namespace, sandboxed.pod.namespace, globalNamespaces);
    if (problem !== undefined) throw new NetworkError(problem);
    const about = { ifname, network, state: 'unfinished', request } as const;
    const cached = cachedCalls(sandboxed.containerID, cacheFolders, pathOf).find(
      ({ input }) => input.ifname === ifname,
    );
    if (cached !== undefined) {
      const input = { ...cached.input, netns: sandboxed.netns };
      const list = JSON.stringify(cached.config);
      checkTypes(networkFromRecord(list), allowedTypes);
      return { ...about, call: { list, input }, result: cached.result };
    }
    try {
      const list = networkOf(await read(network));
      checkTypes(list, allowedTypes);
      return {
        ...about,
        call: { list: list.source, input: inputOf(request, sandboxed.pod, placeOf(sandboxed, ifname)) },
      };
    } catch (error) {
      if (!(error instanceof ApiError && error.isNotFound)) throw error;
      throw new NetworkError('there is neither a record, nor a cached result, nor the definition any more');
    }
  }

  // CHECK and DEL of the pod must not look for it. What stays recorded on a full disk is deleted once more with the pod.
  #forgetBirth({ containerID }: Sandboxed, ifname: string): void {
    const { pathOf, cacheFolders = CACHE_FOLDERS } = this.#options;
    try {
      for (const folder of cacheFolders) forgetBirthAttachment(pathOf(folder), containerID, ifname);
    } catch (error) {
      if (!(error instanceof FileError || error instanceof RuntimeError)) throw error;
    }
  }

  #own(sandboxed: Sandboxed, ifname: string): RecordedAttachment | undefined {
    return this.recordOf(sandboxed).attachments.find((item) => item.ifname === ifname);
  }

  #forget(sandboxed: Sandboxed, about: Omit<RecordedAttachment, 'state'>): void {
    const record = this.recordOf(sandboxed);
    const { keepMac } = about;
    const left = keepMac === undefined ? withoutAttachment(record, about.ifname) : undefined;
    this.#options.records.putOrKeep(left ?? withAttachment(record, { ...about, state: 'pending' }));
  }

  #hasLink({ netns }: Sandboxed, names: readonly string[]): boolean {
    const links = linksIn(this.#options.pathOf(netns), false);
    return names.some((name) => linkNamed(links, name) !== undefined);
  }
}

function placeOf({ containerID, netns }: Sandboxed, ifname: string): Place {
  return { containerID, netns, ifname };
}
