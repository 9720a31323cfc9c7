/** What every object of the API has. `resourceVersion` is opaque: it is compared for equality only. */
export type KubeObject = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly [key: string]: unknown;
};

export type ObjectMeta = {
  readonly name: string;
  /** Absent for objects of the whole cluster. */
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels?: { readonly [name: string]: string };
  readonly annotations?: { readonly [name: string]: string };
  /** Set once deletion has been asked for, while finalizers or a grace period keep the object. */
  readonly deletionTimestamp?: string;
};

/** `namespace/name`, or the name alone for objects of the whole cluster. */
export function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** Has this value, which came from outside, the metadata that we rely on? */
export function isKubeObject(value: unknown): value is KubeObject {
  const metadata = (value as KubeObject | null | undefined)?.metadata;
  return (
    typeof metadata === 'object' &&
    metadata !== null &&
    typeof metadata.name === 'string' &&
    typeof metadata.uid === 'string' &&
    typeof metadata.resourceVersion === 'string'
  );
}
