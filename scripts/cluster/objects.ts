/** A NetworkAttachmentDefinition of this network configuration list, or of this single plugin. */
export function definitionOf(name: string, config: object) {
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: { name },
    spec: { config: JSON.stringify(config) },
  };
}
