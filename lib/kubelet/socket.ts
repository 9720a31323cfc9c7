/** Where the kubelet says which devices it has given to pods, on the node: by a client that not every process loads. */
export const POD_RESOURCES_SOCKET = '/var/lib/kubelet/pod-resources/kubelet.sock';
