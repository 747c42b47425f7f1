"""nginx as load balancer in front of php-fpm hosts, on a free port of 127.0.0.1."""
import http.client
import os
import shutil
import signal

from .process import end, free_port, spawn, until

_CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream hosts {{
{servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            fastcgi_pass hosts;
            fastcgi_param SCRIPT_FILENAME {www}/{page};
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
        }}
    }}
}}
"""


class Balancer:
    """Round robin over hosts; every URL is answered by one page of theirs."""

    def __init__(self, folder, hosts, page):
        self.folder, self._hosts, self._page = folder, hosts, page
        self._process = None
        self.port = 0
        os.makedirs(folder)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        self.port = free_port()
        config = os.path.join(self.folder, "nginx.conf")
        with open(config, "w") as conf:
            conf.write(_CONFIG.format(
                folder=self.folder, port=self.port, www=self._hosts[0].www, page=self._page,
                user="user www-data;" if os.geteuid() == 0 else "",
                servers="\n".join(f"        server unix:{host.socket} max_fails=0;" for host in self._hosts)))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self._process = spawn([program, "-p", self.folder, "-c", config],
                              log=os.path.join(self.folder, "error.log"))
        until(self._answers, 10, f"nginx answers at {self.url}")
        return self

    def _answers(self):
        if self._process.poll() is not None:
            with open(os.path.join(self.folder, "error.log")) as log:
                raise AssertionError(f"nginx ended at start: {log.read()[-1000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/?ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def close(self):
        end(self._process, signal.SIGTERM)
